// Package isa asks the compilers of real GPUs what they make of the kernels, on machines that have no such GPU. Mesa's
// drivers print registers, spills and machine code; the package reads them and says which share of the peak rate of
// multiply-adds a kernel's inner loop allows at most. Only texts come in and only numbers come out: which kernels a
// step has is for the caller to know.
package isa
