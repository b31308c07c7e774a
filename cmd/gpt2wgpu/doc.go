// Command gpt2wgpu trains GPT-2 on any GPU, and writes text with it, evaluates, exports and measures it. Each of
// its commands has a file of its own here. The rules of the interface stand at the top of main.go.
package main
