//! What a pass through a bijector alone leaves of the stream.

use super::*;

/// A layer whose driver has a backward step of its own. `release`: whether that step restores the
/// random stream.
#[derive(Module, Debug)]
struct Own {
    release: bool,
}

impl ShapeMap<4> for Own {
    fn output_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        Ok(shape)
    }
}

impl<C: Context> Bijector<4, C> for Own {
    type Driver = OwnWay;

    fn forward(&self, x: Tensor<4>, _: &C) -> (Tensor<4>, Tensor<1>) {
        let n = x.dims()[0];
        let noise = Tensor::<4>::random(x.dims(), Distribution::Default, &x.device());
        let zero = Tensor::zeros([n], (&x.device(), x.dtype()));
        (x + noise.mul_scalar(0.0), zero)
    }
    fn inverse(&self, z: Tensor<4>, _: &C) -> Tensor<4> {
        z
    }
}

/// A driver that may forget to restore the stream.
struct OwnWay;

impl<C: Context> Drive<Own, 4, C> for OwnWay {
    fn visit(
        own: &Own,
        direction: Direction,
        x: Tensor<4>,
        context: &C,
        visit: &mut Visit<'_, 4>,
    ) -> Tensor<4> {
        Leaf::visit(own, direction, x, context, visit)
    }
    fn replay_forward(
        own: &Own,
        direction: Direction,
        x: Tensor<4>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<4>, Tensor<1>) {
        Leaf::replay_forward(own, direction, x, context, replay)
    }
    fn replay_back(
        own: &Own,
        _: Direction,
        back: Cotangent<4>,
        _: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<4> {
        replay.leave(&back.z.device());
        draw();
        if own.release {
            replay.release();
        }
        back
    }
    fn accepts(_: &Own) -> Result<(), ShapeError> {
        Ok(())
    }
    fn shape_given(
        own: &Own,
        direction: Direction,
        shape: [usize; 4],
        context: &C,
    ) -> Result<[usize; 4], ShapeError> {
        Leaf::shape_given(own, direction, shape, context)
    }
}

/// There and back through a bijector alone; what is drawn while the replay is still there.
fn replayed<B: Bijector<4>>(bijector: &B, before: u64, seed: u64) -> [Vec<f32>; 2] {
    device().seed(before);
    let mut replay = Replay::new(seed);
    let x = levels(3).float().div_scalar(256.0).inner();
    let (z, log_det) = bijector.replay_forward(x, &(), &mut replay);
    let between = draw();
    let back = Cotangent { grad_z: z.ones_like(), grad_log_det: log_det.ones_like(), z };
    bijector.replay_back(back, &(), &mut replay);
    [between, draw()]
}

#[test]
fn replays_give_the_stream_back() {
    let _turn = turn();
    device().seed(1);
    let model = dropping();
    let layers = &model.bijector;
    let (own, forgetful) = (vec![Own { release: true }], vec![Own { release: false }]);
    for replayed in [
        &(|before, seed| replayed(layers, before, seed)) as &dyn Fn(u64, u64) -> [Vec<f32>; 2],
        &|before, seed| replayed(&layers[0], before, seed),
        &|before, seed| replayed(&own[0], before, seed),
        &|before, seed| replayed(&own, before, seed),
        &|before, seed| replayed(&forgetful, before, seed),
    ] {
        let [between, after] = replayed(1, 3);
        assert_eq!(replayed(1, 4), [between.clone(), after.clone()], "not the replay's seed");
        let other = replayed(2, 3);
        assert!(between != after && other[0] != between && other[1] != after);
    }
    // One that says nothing gives the stream back with the replay.
    let alone = |before, seed| after(before, || drop(replayed(&forgetful[0], before, seed)));
    assert_eq!(alone(1, 3), alone(1, 4));
    assert_ne!(alone(1, 3), alone(2, 3));

    let whole = |before, seed| {
        after(before, || drop(model.replay(levels(3), &(), None, &mut Replay::new(seed))))
    };
    assert_eq!(whole(1, 3), whole(1, 4));
    assert_ne!(whole(1, 3), whole(2, 3));
    let x = levels(3).float().div_scalar(256.0);
    let exact = |before, seed| {
        let mut replay = Replay::<()>::recomputing(seed);
        after(before, || drop(model.continuous().replay(x.clone(), &(), None, &mut replay)))
    };
    assert_eq!(exact(1, 3), exact(1, 4));
    assert_ne!(exact(1, 3), exact(2, 3));
}

/// Draws of a replay's layers are the replay's all the same.
#[test]
fn a_replay_draws_from_its_seed() {
    let _turn = turn();
    device().seed(1);
    let model = dropping();
    let x = levels(3).float().div_scalar(256.0).inner();
    let z = |before: u64, seed: u64| {
        device().seed(before);
        let layers = &model.bijector;
        layers
            .replay_forward(x.clone(), &(), &mut Replay::new(seed))
            .0
            .into_data()
            .iter::<f32>()
            .collect::<Vec<_>>()
    };
    assert_eq!(z(1, 3), z(2, 3));
    assert_ne!(z(1, 3), z(1, 4));
}
