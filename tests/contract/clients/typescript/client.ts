// Publishes a click on the first item, then ranks all items.
//
//     CROSSREC_GATEWAY=host:port CROSSREC_RANKING=host:port node dist/client.js USER SCENARIO ITEM...
//
// CROSSREC_CA: file of the authority (plaintext without); CROSSREC_TOKEN: bearer token, over TLS only;
// CROSSREC_DEADLINE_MS: per call, tries again included (default 2000).

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { ChannelCredentials, ClientOptions, Metadata, ServiceError, credentials, status } from "@grpc/grpc-js";

import { EventServiceClient, EventType, PublishRequest, PublishResponse } from "./gen/crossrec/events/v1/events";
import { RankRequest, RankResponse, RankingServiceClient } from "./gen/crossrec/ranking/v1/ranking";

function options(service: string, method: string): ClientOptions {
  const retryPolicy = {
    maxAttempts: 5,
    initialBackoff: "0.1s",
    maxBackoff: "2s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
  };
  const config = {
    loadBalancingConfig: [{ round_robin: {} }],
    retryThrottling: { maxTokens: 100, tokenRatio: 0.1 },
    methodConfig: [{ name: [{ service, method }], retryPolicy }],
  };
  return { "grpc.service_config": JSON.stringify(config) };
}

function channelCredentials(): ChannelCredentials {
  const { CROSSREC_CA: ca, CROSSREC_TOKEN: token } = process.env;
  if (!ca) {
    if (token) throw new Error("CROSSREC_TOKEN: would travel in the clear, set CROSSREC_CA");
    return credentials.createInsecure();
  }
  const tls = credentials.createSsl(readFileSync(ca));
  if (!token) return tls;
  const bearer = credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
  return credentials.combineChannelCredentials(tls, bearer);
}

const deadline = () => ({ deadline: Date.now() + Number(process.env.CROSSREC_DEADLINE_MS ?? 2000) });

/** Makes a promise of a call with a callback; one that fails ends the program. */
async function answer<T>(name: string, call: (done: (error: ServiceError | null, value: T) => void) => unknown): Promise<T> {
  try {
    return await new Promise<T>((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))));
  } catch (error) {
    const failed = error as ServiceError;
    console.log(`failed ${name} ${status[failed.code]} ${failed.details}`);
    process.exit(1);
  }
}

async function publish(userId: string, scenarioId: string, itemId: string): Promise<void> {
  const client = new EventServiceClient(
    process.env.CROSSREC_GATEWAY!, channelCredentials(), options("crossrec.events.v1.EventService", "Publish"));
  // The id is set before the first try: repeats are dropped by it.
  const behaviorEvent = { eventId: randomUUID(), userId, scenarioId, itemId, type: EventType.EVENT_TYPE_CLICK };
  const request = PublishRequest.fromPartial({ entries: [{ behaviorEvent }] });
  const response = await answer<PublishResponse>("Publish", (done) => client.publish(request, new Metadata(), deadline(), done));
  for (const { accepted, rejected } of response.results) {
    console.log(rejected ? `rejected ${rejected.field} ${rejected.reason}` : `accepted ${accepted!.eventId}`);
  }
  client.close();
}

async function rank(userId: string, scenarioId: string, itemIds: string[]): Promise<void> {
  const client = new RankingServiceClient(
    process.env.CROSSREC_RANKING!, channelCredentials(), options("crossrec.ranking.v1.RankingService", "Rank"));
  const request = RankRequest.fromPartial({ userId, scenarioId, itemIds });
  const response = await answer<RankResponse>("Rank", (done) => client.rank(request, new Metadata(), deadline(), done));
  for (const item of response.items) console.log(`ranked ${item.itemId} ${item.score.toFixed(6)}`);
  client.close();
}

async function main(): Promise<void> {
  const [user, scenario, ...items] = process.argv.slice(2);
  if (!items.length) throw new Error("usage: client.js USER SCENARIO ITEM...");
  await publish(user, scenario, items[0]);
  await rank(user, scenario, items);
}

void main();
