package data

import _ "embed"

//go:embed sample.txt
var sampleText string

// SampleText returns the text that is part of the program, so that a first run needs no file and no network.
func SampleText() string { return sampleText }
