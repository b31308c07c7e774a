// embedding_forward: each token's vector and its position's.
//
//   out[n,c] = wte[tokens[n],c] + wpe[n % T,c]        for LO <= tokens[n] < HI; other rows are unchanged
//
// out: out (N,C)      in: wte (HI-LO,C), rows [LO,HI) of the vocabulary  wpe (>=T,C)  tokens (N)
// dispatch: N*COLS groups, folded, COLS = ceil(C/4 / (WG*PER)) for each row.  C % 4 == 0.
//
// One dispatch a window of wte, which may exceed a binding; each row of out is written by the one that holds its token.
// Groups lie within a row, so that those of the other windows return as a whole, and a thread looks up the token for
// PER quads.
//
// uses:

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 1u; // spec: quads a thread

struct Params { N: u32, C: u32, T: u32, LO: u32, HI: u32, COLS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> wte: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> wpe: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> tokens: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let group = wid.y * nwg.x + wid.x;
    let n = group / p.COLS;
    if n >= p.N { return; }
    let token = tokens[n];
    if token < p.LO || token >= p.HI { return; }
    let c4 = p.C / 4u;
    let t = n % p.T;
    for (var j = 0u; j < PER; j++) { // unroll
        let q = (group % p.COLS * PER + j) * WG + li;
        if q < c4 { out[n * c4 + q] = wte[(token - p.LO) * c4 + q] + wpe[t * c4 + q]; }
    }
}
