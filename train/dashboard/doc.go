// Package dashboard serves a page with the live curves of runs. All it shows is read, a piece at a time, from what the
// runs write: metrics.jsonl, config.json and profile.json, or the same records in memory. A page that is slow or closed
// delays only itself, since nothing waits for it and nothing is kept for it.
package dashboard
