// norm_finish: the norm of the gradients and what follows from it for the step.
//
//   norm = sqrt(sum_i partials[i])
//   out = (norm, clip scale, skip, 0)
//   clip scale = min(1, MAX_NORM / (norm + 1e-6)), 1 if MAX_NORM is 0      skip = 1 if the norm is not finite, else 0
//
// out: out (4)      in: partials (P)
// dispatch: one group.
//
// What is not finite shows in the bits: drivers may take x != x for false.
//
// uses: group_sum

const WG: u32 = 64u; // spec: threads a group
const LANES: u32 = 1u;

alias Sum = f32;

struct Params { P: u32, MAX_NORM: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> partials: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) li: u32) {
    var sum = 0.0;
    for (var i = li; i < p.P; i += WG) {
        sum += partials[i];
    }
    let total = group_sum(li, sum);
    if li == 0u {
        let norm = sqrt(total);
        let bad = ((bitcast<u32>(total) >> 23u) & 255u) == 255u; // the exponent of infinities and NaNs
        let scale = select(1.0, min(1.0, p.MAX_NORM / (norm + 1e-6)), p.MAX_NORM > 0.0);
        out[0] = vec4<f32>(norm, select(scale, 0.0, bad), select(0.0, 1.0, bad), 0.0);
    }
}
