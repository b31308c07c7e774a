// gather_rows: the rows of a matrix that are asked for.
//
//   out[i,c] = x[rows[i],c]
//
// out: out (R,C)      in: x (N,C)  rows (R), each below N
// dispatch: R*COLS groups, folded, COLS = ceil(C/4 / (WG*PER)) for each row.  C % 4 == 0.
//
// uses: store

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 1u; // spec: quads a thread

struct Params { R: u32, C: u32, COLS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read> x: array<Quad>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let group = wid.y * nwg.x + wid.x;
    let i = group / p.COLS;
    if i >= p.R { return; }
    let c4 = p.C / 4u;
    let row = rows[i];
    for (var j = 0u; j < PER; j++) { // unroll
        let q = (group % p.COLS * PER + j) * WG + li;
        if q < c4 { out[i * c4 + q] = x[row * c4 + q]; }
    }
}
