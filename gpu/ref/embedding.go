package ref

// EmbeddingForward adds each token's vector and its position's:
//
//	out[b,t,c] = wte[tokens[b,t],c] + wpe[t,c]
//
// out (B,T,C); wte (V,C), wpe (>=T,C), tokens (B,T).
func EmbeddingForward(out, wte, wpe []float64, tokens []uint32, B, T, C int) {
	for b := range B {
		for t := range T {
			token := int(tokens[b*T+t])
			for c := range C {
				out[(b*T+t)*C+c] = wte[token*C+c] + wpe[t*C+c]
			}
		}
	}
}

// EmbeddingBackward scatters dout back to the rows it came from:
//
//	dwte[v,c] += sum of dout[b,t,c] over all (b,t) with tokens[b,t] = v
//	dwpe[t,c] += sum_b dout[b,t,c]
//
// dwte (V,C), dwpe (>=T,C), both accumulate; dout (B,T,C), tokens (B,T).
func EmbeddingBackward(dwte, dwpe, dout []float64, tokens []uint32, B, T, C int) {
	for b := range B {
		for t := range T {
			token := int(tokens[b*T+t])
			for c := range C {
				d := dout[(b*T+t)*C+c]
				dwte[token*C+c] += d
				dwpe[t*C+c] += d
			}
		}
	}
}
