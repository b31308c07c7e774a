package data

// TokenBytes returns the bytes of text that each id stands for, so that losses per token can be compared between
// tokenizers. The token between documents is not text: it has 0. nil: they are not known, as with foreign ids.
func TokenBytes(tok Tokenizer) []int {
	if TextError(tok) != nil {
		return nil
	}
	lengths := make([]int, tok.VocabSize())
	for id := range lengths {
		lengths[id] = len(tok.Decode([]int{id}))
	}
	if eot, ok := tok.EOT(); ok && eot < len(lengths) {
		lengths[eot] = 0
	}
	return lengths
}
