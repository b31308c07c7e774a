// peak_copy: the rate at which the device copies memory, the limit of every elementwise kernel.
//
//   out[i] = x[i]
//
// out: out (COUNT quads)      in: x (COUNT quads)
// dispatch: ceil(COUNT / WG) groups, folded.
//
// uses: store

const WG: u32 = 64u; // spec: threads a group

struct Params { COUNT: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read> x: array<Quad>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let i = (wid.y * nwg.x + wid.x) * WG + li;
    if i < p.COUNT { out[i] = x[i]; }
}
