// Package parallel does independent pieces of work on all cores. It is for files that are read, checked or encoded a
// piece at a time. The first error in the order of the pieces counts, however the cores take turns.
package parallel
