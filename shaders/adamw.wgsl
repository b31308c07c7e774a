// adamw: one step of torch.optim.AdamW on flat tensors.
//
//   g' = g * clip scale
//   p  = p * (1 - lr*decay)
//   m  = m + (g'-m) * (1-beta1)
//   v  = beta2*v + (1-beta2)*g'^2
//   p  = p - lr/(1-beta1^t) * m / (sqrt(v)/sqrt(1-beta2^t) + eps)
//
// out: param m v (COUNT quads), and packed, the copy of param, if there is one      in: grad (COUNT quads)
// in: scalars (8), the step's factors as the host has computed them in float64 (AdamWScalars): 1-lr*decay,
//     1-beta1, beta2, 1-beta2; lr/(1-beta1^t), 1/sqrt(1-beta2^t), eps, 0
// in: norm (4), norm_finish's: norm, clip scale, skip
// dispatch: ceil(COUNT / (WG*PER)) groups, folded.
//
// If skip is set nothing changes. A thread updates PER quads, WG apart, so that it loads the scalars once for them.
//
// uses: copy

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 4u; // spec: quads a thread

struct Params { COUNT: u32, DECAY: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> scalars: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> norm: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let clip = norm[0];
    if clip.z != 0.0 { return; }
    let a = scalars[0];
    let b = scalars[1];
    let keep = select(1.0, a.x, p.DECAY != 0u);
    let first = (wid.y * nwg.x + wid.x) * WG * PER + li;
    for (var j = 0u; j < PER; j++) { // unroll
        let i = first + j * WG;
        if i < p.COUNT {
            let g = grad[i] * clip.y;
            let m0 = m[i];
            let m1 = m0 + (g - m0) * a.y;
            let v1 = a.z * v[i] + a.w * (g * g);
            m[i] = m1;
            v[i] = v1;
            let next = param[i] * keep - b.x * (m1 / (sqrt(v1) * b.y + vec4<f32>(b.z)));
            param[i] = next;
            copy(i, next);
        }
    }
}
