// Package bar draws how far something has come: a bar with its percent, the time that is left and other figures. A
// Terminal keeps one on its last line, in place, below the lines that are written through it. It sends the
// terminal no queries, and Clear leaves only those lines.
package bar
