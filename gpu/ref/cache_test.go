package ref

import "testing"

// A whole forward and one with a cache, some rows first and then one after another, agree; so do sequences of other
// lengths.
func TestCacheAgainstAttentionForward(t *testing.T) {
	const B, T, C, NH, S = 3, 7, 12, 3, 9
	rng := source()
	qkv := normals(rng, B*T*3*C)
	out, lse := poison(B*T*C), poison(B*NH*T)
	AttentionForward(out, lse, qkv, B, T, C, NH)
	rows := func(from, n int) []float64 { // rows [from,from+n) of every sequence
		var x []float64
		for b := range B {
			x = append(x, qkv[(b*T+from)*3*C:(b*T+from+n)*3*C]...)
		}
		return x
	}
	cache := poison(B * S * 2 * C)
	const prompt = 4
	CacheAppend(cache, rows(0, prompt), []uint32{0, 0, 0}, S, prompt, C)
	for at := prompt; at < T; at++ {
		positions := []uint32{uint32(at), uint32(at), uint32(at)}
		CacheAppend(cache, rows(at, 1), positions, S, 1, C)
		got := poison(B * C)
		AttentionDecode(got, rows(at, 1), cache, positions, S, C, NH)
		for b := range B {
			expectClose(t, "out", got[b*C:(b+1)*C], out[(b*T+at)*C:(b*T+at+1)*C], 1e-13)
		}
	}
	got := poison(B * C)
	positions := []uint32{0, 5, 2}
	var queries []float64
	for b, at := range positions {
		queries = append(queries, qkv[(b*T+int(at))*3*C:(b*T+int(at)+1)*3*C]...)
	}
	AttentionDecode(got, queries, cache, positions, S, C, NH)
	for b, at := range positions {
		expectClose(t, "out", got[b*C:(b+1)*C], out[(b*T+int(at))*C:(b*T+int(at)+1)*C], 1e-13)
	}
}

func TestCacheAppend(t *testing.T) {
	qkv := []float64{9, 1, 2, 9, 3, 4} // (2,3)
	cache := make([]float64, 2*3*2)
	CacheAppend(cache, qkv, []uint32{0, 2}, 3, 2, 1) // one sequence for both; the second's last row is past the end
	expectClose(t, "cache", cache, []float64{1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 1, 2}, 0)
	CacheAppend(cache, qkv, []uint32{2, 1}, 3, 1, 1)
	expectClose(t, "cache", cache, []float64{1, 2, 3, 4, 1, 2, 0, 0, 3, 4, 1, 2}, 0)
}
