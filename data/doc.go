// Package data turns text into the batches that training reads: tokenizers, corpora, token shards and the loader.
// It knows nothing of GPUs or models. It reads only local files, and imports only the small packages below it.
//
// A [Tokenizer] maps text to ids and back. A [Corpus], made by [Open], is a read-only sequence of tokens in one or more
// shards: a text encoded at start, or token files (.npy as NumPy writes them, .bin as llm.c does) mapped into memory,
// so that a hundred gigabytes open at once. A [Loader] walks a corpus in the reference document's order and returns
// batches of B*T inputs and targets. Its [State] is a few numbers that a checkpoint keeps; [Loader.Seek] continues from
// there with exactly the batches of an uninterrupted run. Splits come from the names of files ([Parts]), and
// [Corpus.Divide] takes blocks of a text to validate on.
//
// [Tokenize] makes such shards of texts, JSON lines and Parquet files, [Info] describes a shard, and
// [ReadHellaSwag] reads the questions of that benchmark. [Open] takes data sets that were fetched before by name, from
// package cache; package fetch brings them there, and imports this one. [WriteTokenizerFiles] goes with exported
// weights.
//
// Tokens are uint16 on disk and in memory, two bytes each, little endian: every vocabulary here has fewer than 65,536
// ids.
//
// Errors: an error is one line with what failed, where (file and offset), what was found and what was wanted, and ends
// in "hint: ..." with the remedy. Nothing panics, whatever a file holds.
// Errors of the operating system are wrapped, so errors.Is(err, fs.ErrNotExist) works.
package data
