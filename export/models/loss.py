"""What gradient descent minimises: cross-entropy, and of P/M models the loss that identifies P and M.

    loss = CE(R / sum_j M[i,j]) + own_weight CE(P[i]) + transfer_pull mean_ij s[i] (g[i,j] - prior[i,j])^2

for a row of target scenario i; CE is the cross-entropy with its label, g the logit of M. From the first term alone many
M fit equally well: the P[j] know the same user, and the level of P[j] trades against M[i,j].

The second term trains P[i] as what it is called, the probability of engagement in scenario i, on the rows of i: several
tasks share one network (Caruana, Multitask Learning, 1997). P[j] of a source scenario without labelled rows is trained
on the rows of all targets, as the probability of engagement in any of them by what the user did in j. By the mix alone
it would become whatever mends the others' mistakes.

The third one pulls weights to a prior, so that only evidence moves them. P/M is stacking: P[j] are models, M their
weights (Wolpert, Stacked Generalization, 1992), which need a constraint where the models resemble each other (Breiman,
Stacked Regressions, 1996). The strength s[i] is 1 where target i has many rows. Where it has few, hardly any gradient
moves its weights but what other targets teach g: s[i] is greater, so that they are the prior's.

Knows tensors and counts of rows; knows nothing of networks.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from export.rows.reader import Ints

OWN, OTHERS = 1.5, -1.5
"""Prior of g, in logits: M is 0.82 for the scenario's own preference and 0.18 for that of another one."""

HALF_CREDIBLE_ROWS = 2_000.0
"""Training rows with which the own prior is half way from OTHERS to OWN."""

UNSUPPORTED, SUPPORTED_ROWS = 30.0, 100.0
"""How much more a target without rows is pulled to its prior, and with how many rows it is a quarter as much more."""


class Loss(NamedTuple):
    """The mean loss of a batch: what is minimised, and the cross-entropy of the probability alone."""

    total: Tensor
    log_loss: Tensor


def cross_entropy(probability: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy of probabilities [R], or [R, members] of which each is fitted, with the rows' labels [R]."""
    wanted = label.float()
    if probability.dim() == 2:
        wanted = wanted.unsqueeze(1).expand_as(probability)
    return nn.functional.binary_cross_entropy(probability.clamp(1e-6, 1 - 1e-6), wanted)


def transfer_prior(rows: Ints) -> Tensor:
    """The prior of g [J, J], target by source, given the training rows of each target scenario [J].

    Off the diagonal OTHERS. On it OTHERS + c (OWN - OTHERS), where c = n / (n + HALF_CREDIBLE_ROWS) is the credibility
    of n rows (Bühlmann, 1967): a scenario's own preference counts as much as any other as long as no rows support it.
    """
    own = OTHERS + (OWN - OTHERS) * _credibility(rows, HALF_CREDIBLE_ROWS)
    return torch.full((len(own), len(own)), OTHERS).diagonal_scatter(own)


def pull_strength(rows: Ints) -> Tensor:
    """Strength of the pull of each target [J], given its training rows [J]: 1 with many, 1 + UNSUPPORTED with none."""
    return 1 + UNSUPPORTED * (1 - _credibility(rows, SUPPORTED_ROWS)).square()


def _credibility(rows: Ints, half: float) -> Tensor:
    count = torch.from_numpy(rows).float()
    return count / (count + half)


def identified_loss(
    score: Tensor, own: Tensor, distance: Tensor, strength: Tensor, own_weight: float, transfer_pull: float
) -> Tensor:
    """The loss.

    Args:
        score: cross-entropy of R / sum M with the labels.
        own: cross-entropy of each row's P[i] with the labels, i its target scenario; of sources without rows, of all.
        distance: g minus its prior, [K, J, J] for K contexts, target by source.
        strength: of the pull of each target [J].
        own_weight: weight of `own`.
        transfer_pull: weight of the mean squared distance.
    """
    return score + own_weight * own + transfer_pull * (strength.unsqueeze(-1) * distance.square()).mean()
