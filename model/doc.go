// Package model is GPT-2 on a device: parameters, and the programs of training steps, evaluation and sampling. It
// writes the forward and the backward as straight lists of ops. Package gpt2 below it has the same model as data,
// without a device.
//
//   - Model holds the parameters in arenas, matrices and vectors apart, because weight decay may touch only matrices.
//   - Training holds what a step needs beside them: gradients, activations of one micro-batch, scratch; its programs
//     are begin (zero the gradients), forward and backward (of B*T tokens, gradients added up) and, from an Optimizer,
//     update (norm, clip, AdamW or Muon). Nothing is allocated or compiled after it is made. Storing(gpu.BF16) keeps
//     activations, and a copy of the matrices, in bf16; Recomputing trades activations for work, with the same bits.
//   - Optimizer holds the moments. Evaluator runs forward and loss without gradients, in a training's memory or its
//     own. Sampler makes text with the forward and a cache of keys and values.
//
// Dimensions, in Go, shaders and comments alike: B sequences of T tokens, N = B*T rows, C channels, NH heads of HS =
// C/NH, L layers, V words, Vp the vocabulary padded to a multiple of 64 in the logits' rows, OC outputs of a linear
// layer.
//
// Everything is built against a gpu.Device or, for --dry-run, a plan of one, by the same code: so the plan is the
// truth. Errors name the tensor and the flag that would help. One goroutine owns a model.
package model
