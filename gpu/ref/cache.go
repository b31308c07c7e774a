package ref

import "math"

// CacheAppend writes the keys and values of T new rows of each sequence into its cache, from row first[b] on; those
// past the cache's S rows are left out:
//
//	cache[b,first[b]+t,j] = qkv[r,t,C+j]      j < 2C, r = b, or 0 if qkv holds one sequence for all
//
// cache (B,S,2C), a key and a value of C channels a row; qkv (B,T,3C) or (T,3C); first (B).
func CacheAppend(cache, qkv []float64, first []uint32, S, T, C int) {
	shared := len(qkv) == T*3*C
	for b := range first {
		for t := range T {
			r, at := b*T+t, int(first[b])+t
			if shared {
				r = t
			}
			if at < S {
				copy(cache[(b*S+at)*2*C:(b*S+at+1)*2*C], qkv[r*3*C+C:(r+1)*3*C])
			}
		}
	}
}

// AttentionDecode is AttentionForward's row only at positions[b] of each sequence, with keys and values from its
// cache. For one sequence and head:
//
//	s[u]   = sum_i q[i] * k[u,i] / sqrt(HS)        for u <= positions[b]
//	out[i] = sum_u exp(s[u]) * v[u,i] / sum_u exp(s[u])
//
// out (B,C); qkv (B,3C), of which the queries count; cache (B,S,2C), positions (B).
func AttentionDecode(out, qkv, cache []float64, positions []uint32, S, C, NH int) {
	HS := C / NH
	for b, position := range positions {
		T := int(position) + 1
		for h := range NH {
			q := qkv[b*3*C+h*HS:][:HS]
			o := out[b*C+h*HS:]
			s := make([]float64, T)
			for u := range T {
				s[u] = dot(q, cache[(b*S+u)*2*C+h*HS:]) / math.Sqrt(float64(HS))
			}
			l := logSumExp(s)
			for i := range HS {
				o[i] = 0
				for u := range T {
					o[i] += math.Exp(s[u]-l) * cache[(b*S+u)*2*C+C+h*HS+i]
				}
			}
		}
	}
}
