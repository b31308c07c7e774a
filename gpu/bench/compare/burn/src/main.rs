//! burn_step WEIGHTS TOKENS BATCH_SIZE SEQ_LEN STEPS LR: trains GPT-2 with burn's wgpu backend on one batch, from the
//! weights of a checkpoint of ours, and prints two lines of JSON: the versions; then losses and the fastest step's
//! milliseconds. A panic of any thread, which is how burn reports errors, ends it in one line.
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamW, AdamWConfig, AdamWState, Optimizer};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Int, Tensor, TensorData, activation, module};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

/// A parameter of D dimensions and AdamW's moments.
struct Param<const D: usize> {
    value: Tensor<D>,
    moments: Option<AdamWState<D>>,
}

impl<const D: usize> Param<D> {
    fn new(values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        let value = Tensor::from_data(TensorData::new(values, shape.to_vec()), device).require_grad();
        Param { value, moments: None }
    }

    fn update(&mut self, optimizer: &AdamW, lr: f64, gradient: Tensor<D>) {
        let (value, moments) = optimizer.step(lr, self.value.clone().inner(), gradient, self.moments.take());
        self.value = Tensor::from_inner(value).require_grad();
        self.moments = moments;
    }
}

struct Model {
    heads: usize,
    layers: usize,
    matrices: BTreeMap<String, Param<2>>,
    vectors: BTreeMap<String, Param<1>>,
}

impl Model {
    /// Reads a checkpoint of ours: Hugging Face's config.json and model.safetensors, float32.
    fn load(folder: &str, device: &Device) -> Result<Model, Failure> {
        let config: Value = serde_json::from_slice(&std::fs::read(format!("{folder}/config.json"))?)?;
        let size = |name: &str| config[name].as_u64().ok_or(format!("config.json has no {name}"));
        let mut model = Model {
            heads: size("n_head")? as usize,
            layers: size("n_layer")? as usize,
            matrices: BTreeMap::new(),
            vectors: BTreeMap::new(),
        };
        let file = std::fs::read(format!("{folder}/model.safetensors"))?;
        for (name, view) in safetensors::SafeTensors::deserialize(&file)?.tensors() {
            let name = name.trim_start_matches("transformer.").to_string();
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            if view.shape().len() == 2 {
                model.matrices.insert(name, Param::new(values, view.shape(), device));
            } else {
                model.vectors.insert(name, Param::new(values, view.shape(), device));
            }
        }
        Ok(model)
    }

    fn matrix(&self, name: &str) -> Tensor<2> {
        self.matrices[name].value.clone()
    }

    fn vector(&self, name: &str) -> Tensor<1> {
        self.vectors[name].value.clone()
    }

    fn norm(&self, h: Tensor<3>, name: &str) -> Tensor<3> {
        let (weight, bias) = (self.vector(&format!("{name}.weight")), self.vector(&format!("{name}.bias")));
        module::layer_norm(h, weight, Some(bias), 1e-5)
    }

    fn linear(&self, h: Tensor<3>, name: &str) -> Tensor<3> {
        // (in, out), as Hugging Face stores it
        module::linear(h, self.matrix(&format!("{name}.weight")), Some(self.vector(&format!("{name}.bias"))))
    }

    /// x: (B, T); y: (B*T). Returns the mean loss, (1).
    fn loss(&self, x: Tensor<2, Int>, y: Tensor<1, Int>) -> Tensor<1> {
        let [b, t] = x.dims();
        let mut h = module::embedding(self.matrix("wte.weight"), x) // (B, T, C)
            + self.matrix("wpe.weight").slice([0..t]).unsqueeze::<3>();
        let c = h.dims()[2];
        for i in 0..self.layers {
            let qkv = self.linear(self.norm(h.clone(), &format!("h.{i}.ln_1")), &format!("h.{i}.attn.c_attn"));
            let [q, k, v] = [0, 1, 2].map(|part| {
                let part = qkv.clone().narrow(2, part * c, c);
                part.reshape([b, t, self.heads, c / self.heads]).swap_dims(1, 2)
            });
            let causal = AttentionModuleOptions { is_causal: true, ..Default::default() };
            let mixed = module::attention(q, k, v, None, None, causal).swap_dims(1, 2).reshape([b, t, c]);
            h = h + self.linear(mixed, &format!("h.{i}.attn.c_proj"));
            let fc = self.linear(self.norm(h.clone(), &format!("h.{i}.ln_2")), &format!("h.{i}.mlp.c_fc"));
            h = h + self.linear(activation::gelu_approximate(fc), &format!("h.{i}.mlp.c_proj"));
        }
        let h = self.norm(h, "ln_f").reshape([b * t, c]);
        let logits = h.matmul(self.matrix("wte.weight").transpose());
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, y)
    }

    /// One step of AdamW on all parameters, with the norm of all gradients clipped to 1. Returns the loss.
    fn step(&mut self, optimizer: &AdamW, lr: f64, x: Tensor<2, Int>, y: Tensor<1, Int>) -> Tensor<1> {
        let loss = self.loss(x, y);
        let gradients = loss.backward();
        let of_matrices: Vec<_> = self.matrices.values().map(|p| p.value.grad(&gradients).unwrap()).collect();
        let of_vectors: Vec<_> = self.vectors.values().map(|p| p.value.grad(&gradients).unwrap()).collect();
        let squares = of_matrices.iter().map(|g| g.clone().square().sum());
        let squares = squares.chain(of_vectors.iter().map(|g| g.clone().square().sum()));
        let scale = squares.reduce(|a, b| a + b).unwrap().sqrt().recip().clamp_max(1.0);
        for (p, g) in self.matrices.values_mut().zip(of_matrices) {
            p.update(optimizer, lr, g * scale.clone().unsqueeze::<2>());
        }
        for (p, g) in self.vectors.values_mut().zip(of_vectors) {
            p.update(optimizer, lr, g * scale.clone());
        }
        loss
    }
}

/// The values of a .npy file of uint16.
fn tokens(path: &str) -> Result<Vec<i32>, Failure> {
    let file = std::fs::read(path)?;
    let header = u16::from_le_bytes([file[8], file[9]]) as usize;
    Ok(file[10 + header..].chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]) as i32).collect())
}

/// The version of a dependency, which Cargo.lock holds.
fn version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let rest = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}

fn train(args: &[String]) -> Result<(), Failure> {
    println!("{}", json!({"burn": version("burn"), "wgpu": version("wgpu")}));
    let [weights, file, b, t, steps, lr] = args else {
        return Err("want WEIGHTS TOKENS BATCH_SIZE SEQ_LEN STEPS LR".into());
    };
    let (b, t, steps, lr): (usize, usize, usize, f64) = (b.parse()?, t.parse()?, steps.parse()?, lr.parse()?);
    let device = Device::wgpu(Default::default()).autodiff();
    let ids = tokens(file)?;
    let x = Tensor::<2, Int>::from_data(TensorData::new(ids[..b * t].to_vec(), [b, t]), &device);
    let y = Tensor::<1, Int>::from_data(TensorData::new(ids[1..b * t + 1].to_vec(), [b * t]), &device);
    let mut model = Model::load(weights, &device)?;
    let optimizer =
        AdamWConfig::new().with_beta_1(0.9).with_beta_2(0.95).with_epsilon(1e-8).with_weight_decay(0.1).build();
    let (mut losses, mut ms) = (vec![], vec![]);
    for _ in 0..steps {
        let start = Instant::now();
        let loss = model.step(&optimizer, lr, x.clone(), y.clone());
        losses.push(loss.into_scalar::<f32>());
        device.sync().map_err(|e| format!("{e:?}"))?; // the update too
        ms.push(1e3 * start.elapsed().as_secs_f64());
    }
    // three steps to compile
    let fastest = ms[3..].iter().copied().fold(f64::INFINITY, f64::min);
    println!("{}", json!({"losses": losses, "ms": fastest}));
    Ok(())
}

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        eprintln!("burn_step: {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
        std::process::exit(1);
    }));
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Err(e) = train(&args) {
        eprintln!("burn_step: {e}");
        std::process::exit(1);
    }
}
