// Package oneline makes text that the program did not write a part of one line on a terminal. Such text is a name of a
// file, or what a file, a driver or another program says. It may hold escape sequences and line breaks.
package oneline
