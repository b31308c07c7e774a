package data

import "testing"

// TestTokenBytes: the tokens of a text have its bytes, whatever splits it; foreign ids have none that are known.
func TestTokenBytes(t *testing.T) {
	const text = "naïve café, 1234 …\n\n  indented\t€"
	for _, name := range []string{"gpt2", "bytes"} {
		tok, err := NewTokenizer(name)
		if err != nil {
			t.Fatal(err)
		}
		lengths, sum := TokenBytes(tok), 0
		for _, id := range tok.Encode(text) {
			sum += lengths[id]
		}
		if sum != len(text) || len(lengths) != tok.VocabSize() {
			t.Errorf("%s: %d bytes of %d ids, want %d of %d", name, sum, len(lengths), len(text), tok.VocabSize())
		}
		if eot, ok := tok.EOT(); ok && lengths[eot] != 0 {
			t.Errorf("%s: the token between documents has %d bytes, want 0", name, lengths[eot])
		}
	}
	ids, err := NewTokenizer("ids")
	if err != nil {
		t.Fatal(err)
	}
	if got := TokenBytes(ids); got != nil {
		t.Errorf("ids: %d lengths, want none", len(got))
	}
}
