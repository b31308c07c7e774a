package shell

import "testing"

func TestWord(t *testing.T) {
	for word, want := range map[string]string{"runs/tiny-1": "runs/tiny-1", "my runs/a": "'my runs/a'", "": "''",
		"it's": `'it'\''s'`, "a;b": "'a;b'", "~/x": "'~/x'", "$HOME": "'$HOME'"} {
		if got := Word(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}
