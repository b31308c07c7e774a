// Package runs reads what runs leave in their directories: settings from config.json, all curves from metrics.jsonl. A
// directory that is damaged, unfinished or growing is read as far as it goes, and what is wrong with it is said in a
// line each. Commands, report and dashboard show what this package has read, and it needs no device.
package runs
