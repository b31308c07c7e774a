// muon_update: the end of a step of Muon on one matrix or a part of it.
//
//   param = (1 - rate*decay) * param - RATIO * rate * x      RATIO = sqrt(max(1, rows / columns))
//
// out: param, quads [FROM, FROM+COUNT), and packed, the copy of param, if there is one
// in: x, quads [TO, TO+COUNT) of a stack of matrices
// in: scalars (4), as the host has computed them in float64: 1 - rate*decay, rate, 0, 0
// in: norm (4), norm_finish's: norm, clip scale, skip
// dispatch: ceil(COUNT / (WG*PER)) groups, folded.
//
// If skip is set nothing changes.
//
// uses: copy

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 4u; // spec: quads a thread

struct Params { COUNT: u32, FROM: u32, TO: u32, RATIO: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> scalars: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    if norm[0].z != 0.0 { return; }
    let s = scalars[0];
    let first = (wid.y * nwg.x + wid.x) * WG * PER + li;
    for (var j = 0u; j < PER; j++) { // unroll
        let i = first + j * WG;
        if i < p.COUNT {
            let next = s.x * param[p.FROM + i] - p.RATIO * s.y * x[p.TO + i];
            param[p.FROM + i] = next;
            copy(p.FROM + i, next);
        }
    }
}
