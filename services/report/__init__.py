"""The kit of HTML reports: one self-contained page of sections, tables and plots; shared by load and evaluation."""
