// mean_loss: out += SCALE * sum_n losses[n].
//
// in and out: out (1)      in: losses (N)
// dispatch: one group.
//
// The order is fixed, and no partial sum has more than N/WG + log2(WG) roundings: each thread sums every WG-th loss,
// then a tree sums the threads.
//
// uses:

const WG: u32 = 256u; // spec: threads, a power of two

struct Params { N: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> losses: array<f32>;

var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) li: u32) {
    var s = 0.0;
    for (var n = li; n < p.N; n += WG) {
        s += losses[n];
    }
    sums[li] = s;
    for (var gap = WG / 2u; gap > 0u; gap /= 2u) {
        workgroupBarrier();
        if li < gap { sums[li] += sums[li + gap]; }
    }
    workgroupBarrier();
    if li == 0u { out[0] += p.SCALE * sums[0]; }
}
