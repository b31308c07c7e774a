// cross_entropy: softmax and cross-entropy of rows of logits; the gradient overwrites them.
//
//   m = max_v logits[n,v],  s = sum_v exp(logits[n,v] - m)
//   losses[n] = log(s) + m - logits[n,targets[n]]
//   logits[n,v] = (exp(logits[n,v] - m) / s - [v = targets[n]]) * SCALE  for v < V,  0 for V <= v < STRIDE
//
// in and out: logits (N,STRIDE), columns [V,STRIDE) hold anything finite      out: losses (N)      in: targets (N)
// dispatch: one group a row, folded.  STRIDE % 4 == 0.
//
// One pass for maximum and sum together: a thread's sum so far is rescaled where its maximum grows, so a row is read
// twice and not three times, and no argument of exp is positive. A thread starts from the row's first logit as its
// maximum: no constant stands for minus infinity, and a NaN spreads to the loss.
//
// uses: store

const WG: u32 = 256u; // spec: threads a row, a power of two
const BACKWARD: bool = true; // spec: overwrite logits; false for evaluation

struct Params { N: u32, V: u32, STRIDE: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<Quad>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;

var<workgroup> maxima: array<f32, WG>;
var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let n = wid.y * nwg.x + wid.x;
    if n >= p.N { return; } // the whole group
    let row = n * (p.STRIDE / 4u);
    let quads = (p.V + 3u) / 4u;
    let target_col = targets[n];
    let target_logit = unpack4(logits[row + target_col / 4u])[target_col % 4u];
    var m = unpack4(logits[row]).x;
    var s = 0.0;
    for (var q = li; q < quads; q += WG) {
        let live = vec4<u32>(q * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.V);
        let x = select(vec4<f32>(m), unpack4(logits[row + q]), live);
        let top = max(m, max(max(x.x, x.y), max(x.z, x.w)));
        let e = select(vec4<f32>(0.0), exp(x - top), live);
        s = s * exp(m - top) + ((e.x + e.y) + (e.z + e.w));
        m = top;
    }
    maxima[li] = m;
    sums[li] = s;
    for (var gap = WG / 2u; gap > 0u; gap /= 2u) {
        workgroupBarrier();
        if li < gap {
            let top = max(maxima[li], maxima[li + gap]);
            sums[li] = sums[li] * exp(maxima[li] - top) + sums[li + gap] * exp(maxima[li + gap] - top);
            maxima[li] = top;
        }
    }
    workgroupBarrier();
    storageBarrier(); // every thread has read the target's and the first logit
    m = maxima[0];
    s = sums[0];
    if li == 0u { losses[n] = log(s) + (m - target_logit); }
    if BACKWARD {
        let factor = p.SCALE / s;
        for (var q = li; q < p.STRIDE / 4u; q += WG) {
            let col = vec4<u32>(q * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
            let live = col < vec4<u32>(p.V);
            let x = select(vec4<f32>(m), unpack4(logits[row + q]), live);
            let hot = select(vec4<f32>(0.0), vec4<f32>(p.SCALE), col == vec4<u32>(target_col));
            logits[row + q] = pack4(select(vec4<f32>(0.0), exp(x - m) * factor - hot, live));
        }
    }
}
