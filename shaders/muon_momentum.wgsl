// muon_momentum: Muon's momentum, and the Nesterov step ahead of it, of one matrix or a part of it.
//
//   g' = grad * clip scale
//   m  = MU*m + g'      u = g' + MU*m
//
// out: m, quads [FROM, FROM+COUNT)      u, quads [TO, TO+COUNT) of a stack of matrices
// in: grad, as m      norm (4), norm_finish's: norm, clip scale, skip
// dispatch: ceil(COUNT / (WG*PER)) groups, folded.
//
// If skip is set nothing changes.
//
// uses:

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 4u; // spec: quads a thread

struct Params { COUNT: u32, FROM: u32, TO: u32, MU: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let clip = norm[0];
    if clip.z != 0.0 { return; }
    let first = (wid.y * nwg.x + wid.x) * WG * PER + li;
    for (var j = 0u; j < PER; j++) { // unroll
        let i = first + j * WG;
        if i < p.COUNT {
            let g = grad[p.FROM + i] * clip.y;
            let next = p.MU * m[p.FROM + i] + g;
            m[p.FROM + i] = next;
            u[p.TO + i] = g + p.MU * next;
        }
    }
}
