// Package chart draws curves: to SVG and PNG with gonum/plot, and to a terminal with braille. It knows nothing of runs,
// so the panel, the commands and the report share it. Its colours can be told apart by colour-blind people, on light
// and on dark grounds.
package chart
