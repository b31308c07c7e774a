//go:build js

// Command web is the program of a page that trains in a browser's tab (see web/). It is a table of calls that a Worker
// makes, and of events that it gets. All else is package train, on the same files as the command line's.
package main
