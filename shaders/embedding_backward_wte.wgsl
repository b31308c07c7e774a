// embedding_backward_wte: the gradient of the token vectors, summed token by token.
//
//   dwte[v,c] += sum of dout[n,c] over the rows n with tokens[n] = v, in order        for LO <= v < HI
//
// out: dwte (HI-LO,C), rows [LO,HI) of the vocabulary      in: dout (N,C)  order (N)  starts (N+1)  tokens (N)
// dispatch: N*COLS groups, folded, COLS = ceil(C/4 / (WG*PER)) for each bucket.  C % 4 == 0.
//
// The host has sorted the rows by token: bucket i is order[starts[i]..starts[i+1]], all of one token. So no two threads
// meet in a row of dwte: no atomics, and the same sums every time. There are at most N buckets; those left over are
// empty and return.
//
// uses:

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 1u; // spec: quads a thread

struct Params { N: u32, C: u32, LO: u32, HI: u32, COLS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dwte: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let group = wid.y * nwg.x + wid.x;
    let bucket = group / p.COLS;
    if bucket >= p.N { return; }
    var at = starts[bucket];
    let end = starts[bucket + 1u];
    if at >= end { return; }
    let token = tokens[order[at]];
    if token < p.LO || token >= p.HI { return; }
    let c4 = p.C / 4u;
    let q = group % p.COLS * PER * WG + li;
    var sums: array<vec4<f32>, PER>;
    for (var j = 0u; j < PER; j++) { // unroll
        sums[j] = vec4<f32>(0.0);
    }
    // two rows a turn, so that their loads overlap and turns stay few
    for (; at + 2u <= end; at += 2u) {
        let r0 = order[at] * c4;
        let r1 = order[at + 1u] * c4;
        for (var j = 0u; j < PER; j++) { // unroll
            let col = min(q + j * WG, c4 - 1u);
            sums[j] = (sums[j] + dout[r0 + col]) + dout[r1 + col];
        }
    }
    if at < end {
        for (var j = 0u; j < PER; j++) { // unroll
            sums[j] += dout[order[at] * c4 + min(q + j * WG, c4 - 1u)];
        }
    }
    for (var j = 0u; j < PER; j++) { // unroll
        let to = (token - p.LO) * c4 + q + j * WG;
        if q + j * WG < c4 { dwte[to] = dwte[to] + sums[j]; }
    }
}
