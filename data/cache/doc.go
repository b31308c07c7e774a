// Package cache knows the data sets and weights that have names, and where they lie once they have been fetched. It
// reads only the local disk. Package data takes corpora from it by name, and package fetch brings what is missing.
package cache
