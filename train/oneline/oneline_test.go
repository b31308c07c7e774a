package oneline

import "testing"

func TestOf(t *testing.T) {
	for text, want := range map[string]string{
		"runs/é-e\u0301-日本\u3000\u00a0हिन्दी": "runs/é-e\u0301-日本\u3000\u00a0हिन्दी",
		"a\x1b[2J\x07\u009b5A\u202e":          "a\uFFFD[2J\uFFFD\uFFFD5A\uFFFD",
		"a\r\nb\tc\u2028d\xff":                "a  b c d\uFFFD",
	} {
		if got := Of(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
