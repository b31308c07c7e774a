// Command isa compiles the kernels of a 124M training step with the drivers of GPUs that this machine does not have.
// It prints what became of each kernel, and which share of the peak rate of multiply-adds the step can reach at most.
// `make isa`, `make texts` and `make metal` run it.
package main
