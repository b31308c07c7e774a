package ref

import "math"

// AttentionForward is causal self-attention over NH heads of HS = C/NH channels. Each row of qkv holds a query, a key
// and a value, C channels each, head after head. For one batch row and head:
//
//	s[t,u]   = sum_i q[t,i] * k[u,i] / sqrt(HS)        for u <= t
//	lse[t]   = log(sum_{u<=t} exp(s[t,u]))
//	p[t,u]   = exp(s[t,u] - lse[t])                    (the softmax)
//	out[t,i] = sum_{u<=t} p[t,u] * v[u,i]
//
// out (B,T,C), lse (B,NH,T); qkv (B,T,3C).
//
// As in flash attention, lse is all that is kept of the (T,T) scores: the backward makes p again from it.
func AttentionForward(out, lse, qkv []float64, B, T, C, NH int) {
	HS := C / NH
	scale := 1 / math.Sqrt(float64(HS))
	s := make([]float64, T) // the scores of one query
	for b := range B {
		for h := range NH {
			for t := range T {
				q := qkv[(b*T+t)*3*C+h*HS:][:HS]
				for u := range t + 1 {
					s[u] = scale * dot(q, qkv[(b*T+u)*3*C+C+h*HS:])
				}
				l := logSumExp(s[:t+1])
				lse[(b*NH+h)*T+t] = l

				// the values' average, weighted by the softmax
				o := out[(b*T+t)*C+h*HS:]
				clear(o[:HS])
				for u := range t + 1 {
					v := qkv[(b*T+u)*3*C+2*C+h*HS:]
					p := math.Exp(s[u] - l)
					for i := range HS {
						o[i] += p * v[i]
					}
				}
			}
		}
	}
}

// AttentionBackward. For one batch row and head, with p made again from lse:
//
//	(1) dv[u,i] = sum_{t>=u} p[t,u] * dout[t,i]            out is linear in v
//	(2) dp[t,u] = sum_i dout[t,i] * v[u,i]                 out is linear in p
//	(3) ds[t,u] = p[t,u] * (dp[t,u] - D[t])                the softmax: dp_w/ds_u = p_w*([u=w] - p_u), so
//	                                                       ds_u = p_u*(dp_u - sum_w p_w*dp_w), and the sum is
//	    D[t]    = sum_u p[t,u]*dp[t,u] = sum_i dout[t,i]*out[t,i]      by (2): no second pass over the keys
//	(4) dq[t,i] = sum_{u<=t} ds[t,u] * k[u,i] / sqrt(HS)   s is linear in q
//	(5) dk[u,i] = sum_{t>=u} ds[t,u] * q[t,i] / sqrt(HS)   and in k
//
// dqkv (B,T,3C) is overwritten; dout (B,T,C), qkv (B,T,3C), out (B,T,C), lse (B,NH,T).
func AttentionBackward(dqkv, dout, qkv, out, lse []float64, B, T, C, NH int) {
	HS := C / NH
	scale := 1 / math.Sqrt(float64(HS))
	clear(dqkv[:B*T*3*C])
	for b := range B {
		for h := range NH {
			for t := range T {
				q, dq := qkv[(b*T+t)*3*C+h*HS:], dqkv[(b*T+t)*3*C+h*HS:]
				o, do := out[(b*T+t)*C+h*HS:], dout[(b*T+t)*C+h*HS:]
				D := dot(do[:HS], o)
				for u := range t + 1 {
					k, dk := qkv[(b*T+u)*3*C+C+h*HS:], dqkv[(b*T+u)*3*C+C+h*HS:]
					v, dv := qkv[(b*T+u)*3*C+2*C+h*HS:], dqkv[(b*T+u)*3*C+2*C+h*HS:]
					p := math.Exp(scale*dot(q[:HS], k) - lse[(b*NH+h)*T+t])
					dp := dot(do[:HS], v) // (2)
					ds := p * (dp - D)    // (3)
					for i := range HS {
						dv[i] += p * do[i]         // (1)
						dq[i] += ds * k[i] * scale // (4)
						dk[i] += ds * q[i] * scale // (5)
					}
				}
			}
		}
	}
}

// dot returns the inner product of a and the first values of b.
func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
