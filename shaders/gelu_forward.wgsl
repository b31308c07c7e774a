// gelu_forward: out[i] = gelu(x[i]), for a backward that computes it again instead of keeping it.
//
// out: out (COUNT quads)      in: x (COUNT quads)
// dispatch: ceil(COUNT / WG) groups, folded.
//
// uses: store gelu

const WG: u32 = 64u; // spec: threads a group

struct Params { COUNT: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read> x: array<Quad>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let i = (wid.y * nwg.x + wid.x) * WG + li;
    if i < p.COUNT { out[i] = pack4(gelu(unpack4(x[i]))); }
}
