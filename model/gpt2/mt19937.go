package gpt2

// mt19937 is the Mersenne Twister of Matsumoto and Nishimura (1998), the generator behind torch.manual_seed on the CPU.
type mt19937 struct {
	state [mtN]uint32
	next  int // outputs of state already used
}

const (
	mtN = 624
	mtM = 397
)

func newMT19937(seed uint32) *mt19937 {
	g := &mt19937{next: mtN}
	g.state[0] = seed
	for i := uint32(1); i < mtN; i++ {
		prev := g.state[i-1]
		g.state[i] = 1812433253*(prev^prev>>30) + i
	}
	return g
}

// twist replaces the state by the next mtN words. The loop is split where i+mtM and i+1 wrap, which spares a division.
func (g *mt19937) twist() {
	s := &g.state
	mix := func(hi, lo uint32) uint32 {
		y := hi&0x80000000 | lo&0x7fffffff
		return y>>1 ^ -(y&1)&0x9908b0df
	}
	for i := 0; i < mtN-mtM; i++ {
		s[i] = s[i+mtM] ^ mix(s[i], s[i+1])
	}
	for i := mtN - mtM; i < mtN-1; i++ {
		s[i] = s[i+mtM-mtN] ^ mix(s[i], s[i+1])
	}
	s[mtN-1] = s[mtM-1] ^ mix(s[mtN-1], s[0])
	g.next = 0
}

func temper(y uint32) uint32 {
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// uint32 draws one word.
func (g *mt19937) uint32() uint32 {
	if g.next == mtN {
		g.twist()
	}
	y := g.state[g.next]
	g.next++
	return temper(y)
}

// float64 draws a uniform in [0,1) as PyTorch does: 53 low bits of two words, the first word high.
func (g *mt19937) float64() float64 {
	hi := uint64(g.uint32())
	lo := uint64(g.uint32())
	return float64((hi<<32|lo)&(1<<53-1)) * 0x1p-53
}

// float32s fills dst with uniforms in [0,1) as PyTorch does: 24 low bits of one word each.
func (g *mt19937) float32s(dst []float32) {
	for len(dst) > 0 {
		if g.next == mtN {
			g.twist()
		}
		words := g.state[g.next:]
		n := min(len(words), len(dst))
		for i, y := range words[:n] {
			dst[i] = float32(temper(y)&(1<<24-1)) * 0x1p-24
		}
		g.next += n
		dst = dst[n:]
	}
}

// skip discards n words; it spares the tempering.
func (g *mt19937) skip(n int) {
	for n > 0 {
		if g.next == mtN {
			g.twist()
		}
		k := min(mtN-g.next, n)
		g.next += k
		n -= k
	}
}
