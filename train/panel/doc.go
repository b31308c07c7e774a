// Package panel shows a training on a terminal: one calm picture that is redrawn in place, with lines above it for what
// happens. It is made of the records that metrics.jsonl gets and of a plan, and knows no device. Keys become wishes
// that the training takes between two steps.
package panel
