// Package cache lists the data sets and weights that have names, and finds those that were fetched. It
// reads only the local disk. Package data takes corpora from it by name, and package fetch brings what is missing.
package cache
