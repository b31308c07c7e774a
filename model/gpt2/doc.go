// Package gpt2 is GPT-2 as data: its configuration, the table of its parameters, their initial values, and their
// files. It opens no device and imports no GPU package. So everything here can be used and tested on any machine.
//
// Main types:
//
//   - [Config] is the shape of a model; [Named] knows the four sizes of the GPT-2 family.
//   - [Param] describes one parameter tensor, and [Table] lists those of a model in the order of PyTorch's
//     named_parameters. Whatever holds values per parameter (weights, gradients, moments) is a slice in that order.
//   - [Weights] holds the values in float32. [Init] draws them as PyTorch would for the same seed.
//   - [NamedTensor] is a tensor of another safetensors file, such as the optimizer's moments.
//
// Files: [ReadDir] and [WriteDir] for Hugging Face directories, [ReadLLMC] and [WriteLLMC] for the checkpoints of
// llm.c, [ReadSafetensors] and [WriteSafetensors] for anything else. Every file is written beside its final place,
// synced, and renamed into it, so a crash leaves the old file or the new one and never half of either.
//
// Layout in memory: a Linear weight is (OC,K), row-major, as in PyTorch and llm.c. Hugging Face stores the transpose
// (its Conv1D); reading and writing turn it.
//
// Errors: reading trusts nothing in a file; sizes are checked against the file's length before anything is allocated.
// An error is one line that names the file and the tensor, what was found and what was wanted, and ends in a hint.
// Errors of the operating system stay reachable by errors.Is. No input makes this package panic; file contents that
// change while they are being read are outside that promise, because files of weights are memory-mapped.
package gpt2
