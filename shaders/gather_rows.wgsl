// gather_rows: the rows of a matrix that are asked for.
//
//   out[i,c] = x[rows[i],c]
//
// out: out (R,C)      in: x (N,C)  rows (R), each below N
// dispatch: ceil(R*C/4 / WG) groups, folded, a thread a quad.  C % 4 == 0.
//
// uses: store

const WG: u32 = 64u; // spec: threads a group

struct Params { R: u32, C: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read> x: array<Quad>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let i = (wid.y * nwg.x + wid.x) * WG + li;
    let c4 = p.C / 4u;
    if i / c4 >= p.R { return; }
    out[i] = x[rows[i / c4] * c4 + i % c4];
}
