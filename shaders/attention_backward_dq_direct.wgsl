// attention_backward_dq_direct: the queries' gradient. For one batch row and head, with
// s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS), p[t,u] = exp(s[t,u] - lse[t]) for u <= t and attention_backward_d's d:
//
//   ds[t,u] = p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t])
//   dq[t,i] = sum_u ds[t,u] * k[u,i] / sqrt(HS)
//
// out: dqkv (N,3C), the queries' columns      in: dout (N,C)  qkv (N,3C)  lse (B,NH,T)  d (B,NH,T)
// dispatch: x: ceil(T / (WX*TQ)) groups, y: B*NH.  HS = C/NH, a multiple of 4.
//
// As attention_forward_direct: q, dout and dq of TQ queries in registers.
//
// uses: store attention_gradients

const HS: u32 = 64u; // spec: channels a head
const TQ: u32 = 4u; // spec: queries a thread
const WX: u32 = 8u; // spec: threads
const HS4: u32 = HS / 4u;
const LAST: u32 = HS4 - 1u;
const QUADS: u32 = TQ * HS4;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>) {
    let first = (nwg.x - 1u - wid.x) * WX * TQ;
    let end = min(first + WX * TQ, p.T); // the group's keys
    let row = first + lid.x * TQ;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let hs4 = HS4 * nwg.z; // no constant: a loop to its end is not unrolled
    let o0 = batch * c4 + wid.y % p.NH * HS4;
    let q0 = batch * 3u * c4 + wid.y % p.NH * HS4;
    let k0 = q0 + c4;
    var q: array<vec4<f32>, QUADS>;
    var g: array<vec4<f32>, QUADS>; // dout
    for (var n = 0u; n < hs4; n++) {
        for (var i = 0u; i < TQ; i++) { // unroll
            let t = min(row + i, p.T - 1u);
            for (var c = 0u; c < LAST; c++) { // unroll
                q[i * HS4 + c] = q[i * HS4 + c + 1u];
                g[i * HS4 + c] = g[i * HS4 + c + 1u];
            }
            q[i * HS4 + LAST] = unpack4(qkv[q0 + t * 3u * c4 + n]) * p.SCALE;
            g[i * HS4 + LAST] = unpack4(dout[o0 + t * c4 + n]);
        }
    }
    var l: array<f32, TQ>;
    var sum: array<f32, TQ>; // d
    for (var i = 0u; i < TQ; i++) { // unroll
        l[i] = lse[wid.y * p.T + min(row + i, p.T - 1u)];
        sum[i] = d[wid.y * p.T + min(row + i, p.T - 1u)];
    }
    var dq: array<vec4<f32>, QUADS>;
    for (var u = 0u; u < end; u++) {
        var ks: array<vec4<f32>, HS4>;
        var s = array<f32, TQ>(); // naga 0.19 zeroes a plain declaration once, not each turn
        var dp = array<f32, TQ>();
        let at = k0 + u * 3u * c4;
        for (var c = 0u; c < HS4; c++) { // unroll
            ks[c] = unpack4(qkv[at + c]);
            let v = unpack4(qkv[at + c4 + c]);
            for (var i = 0u; i < TQ; i++) { // unroll
                s[i] = fma(q[i * HS4 + c].w, ks[c].w, fma(q[i * HS4 + c].z, ks[c].z,
                    fma(q[i * HS4 + c].y, ks[c].y, fma(q[i * HS4 + c].x, ks[c].x, s[i]))));
                dp[i] = fma(g[i * HS4 + c].w, v.w, fma(g[i * HS4 + c].z, v.z,
                    fma(g[i * HS4 + c].y, v.y, fma(g[i * HS4 + c].x, v.x, dp[i]))));
            }
        }
        for (var i = 0u; i < TQ; i++) { // unroll
            let ds = select(0.0, exp(min(s[i] - l[i], 0.0)), u <= row + i) * (dp[i] - sum[i]);
            for (var c = 0u; c < HS4; c++) { // unroll
                dq[i * HS4 + c] = fma(vec4<f32>(ds), ks[c], dq[i * HS4 + c]);
            }
        }
    }
    for (var n = 0u; n < hs4; n++) {
        for (var i = 0u; i < TQ; i++) { // unroll
            if row + i < p.T { dqkv[q0 + (row + i) * 3u * c4 + n] = pack4(dq[i * HS4] * p.SCALE); }
            for (var c = 0u; c < LAST; c++) { // unroll
                dq[i * HS4 + c] = dq[i * HS4 + c + 1u];
            }
        }
    }
}
