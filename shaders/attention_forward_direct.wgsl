// attention_forward_direct: causal self-attention in flash form. For one batch row and head:
//
//   s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS)    u <= t
//   lse[t] = log(sum_u exp(s[t,u]))
//   out[t,i] = sum_u exp(s[t,u] - lse[t]) * v[u,i]
//
// out: out (N,C)  lse (B,NH,T)      in: qkv (N,3C), rows of a query, a key and a value, C channels each, head after
// head
// dispatch: x: ceil(T / (WX*TQ)) groups, y: B*NH.  HS = C/NH, a multiple of 4.
//
// A thread owns TQ queries: they and their sums of values stay in registers, so that each loaded key and value serves
// TQ of them. The maximum m and the sum l of exp(s - m) run along; what was summed under an older maximum is scaled by
// exp(older - m). Registers take constant indices only: rows enter and leave them through one place, by a loop that
// moves all of them on by one, so that loads and stores are few and the compilation is short. Groups with the most keys
// go first.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const TQ: u32 = 4u; // spec: queries a thread
const WX: u32 = 8u; // spec: threads
const HS4: u32 = HS / 4u;
const LAST: u32 = HS4 - 1u;
const QUADS: u32 = TQ * HS4;

struct Params { T: u32, C: u32, NH: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read> qkv: array<Quad>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_id) lid: vec3<u32>) {
    let first = (nwg.x - 1u - wid.x) * WX * TQ;
    let end = min(first + WX * TQ, p.T); // the group's keys
    let row = first + lid.x * TQ;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let hs4 = HS4 * nwg.z; // no constant: a loop to its end is not unrolled
    let q0 = batch * 3u * c4 + wid.y % p.NH * HS4;
    let k0 = q0 + c4;
    var q: array<vec4<f32>, QUADS>;
    for (var n = 0u; n < hs4; n++) {
        for (var i = 0u; i < TQ; i++) { // unroll
            for (var c = 0u; c < LAST; c++) { // unroll
                q[i * HS4 + c] = q[i * HS4 + c + 1u];
            }
            q[i * HS4 + LAST] = unpack4(qkv[q0 + min(row + i, p.T - 1u) * 3u * c4 + n]) * p.SCALE;
        }
    }
    var o: array<vec4<f32>, QUADS>;
    var m: array<f32, TQ>;
    var l: array<f32, TQ>;
    for (var i = 0u; i < TQ; i++) { // unroll
        m[i] = -1e30;
    }
    for (var u = 0u; u < end; u++) {
        let at = k0 + u * 3u * c4;
        var s = array<f32, TQ>(); // naga 0.19 zeroes a plain declaration once, not each turn
        for (var c = 0u; c < HS4; c++) { // unroll
            let k = unpack4(qkv[at + c]);
            for (var i = 0u; i < TQ; i++) { // unroll
                s[i] = fma(q[i * HS4 + c].w, k.w, fma(q[i * HS4 + c].z, k.z,
                    fma(q[i * HS4 + c].y, k.y, fma(q[i * HS4 + c].x, k.x, s[i]))));
            }
        }
        var older: array<f32, TQ>;
        for (var i = 0u; i < TQ; i++) { // unroll
            s[i] = select(-1e30, s[i], u <= row + i);
            let e = exp(-abs(s[i] - m[i])); // of exp(s - max) and exp(m - max) one is this, the other 1
            let up = s[i] > m[i];
            older[i] = select(1.0, e, up);
            m[i] = max(m[i], s[i]);
            s[i] = select(e, 1.0, up);
            l[i] = fma(l[i], older[i], s[i]);
        }
        for (var c = 0u; c < HS4; c++) { // unroll
            let v = unpack4(qkv[at + c4 + c]);
            for (var i = 0u; i < TQ; i++) { // unroll
                o[i * HS4 + c] = fma(vec4<f32>(s[i]), v, o[i * HS4 + c] * older[i]);
            }
        }
    }
    for (var i = 0u; i < TQ; i++) { // unroll
        if row + i < p.T { lse[wid.y * p.T + row + i] = m[i] + log(l[i]); }
    }
    for (var n = 0u; n < hs4; n++) {
        for (var i = 0u; i < TQ; i++) { // unroll
            if row + i < p.T { out[(batch + row + i) * c4 + wid.y % p.NH * HS4 + n] = pack4(o[i * HS4] / l[i]); }
            for (var c = 0u; c < LAST; c++) { // unroll
                o[i * HS4 + c] = o[i * HS4 + c + 1u];
            }
        }
    }
}
