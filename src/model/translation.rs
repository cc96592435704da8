//! Arrays of another library's model, translated one after another into those of a model here.
//! ```text
//! their file  ->  values, in float64  ->  arrays named by the paths of our parameters  ->  model
//! ```
//! Every array of the file is read, and every parameter is set: what is left on either side is an
//! error.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use crate::bijector::{LayerConfig, Site};
use crate::context::{Context, ContextShape, Features};
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::prior::StandardNormal;
use crate::state_dict::assign::Assignment;
use crate::state_dict::slot::{Part, Slot};
use crate::state_dict::{Array, StateDict, StateDictError, Values};

/// A file that is being translated.
pub(super) struct Translation<'a> {
    state: &'a StateDict,
    theirs: Assignment<'a>,
    ours: StateDict,
}

impl<'a> Translation<'a> {
    pub fn new(state: &'a StateDict) -> Self {
        let ours = StateDict::new().with_path(state.path());
        Self { state, theirs: Assignment::new(state), ours }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.state.path()
    }

    /// Whether the file has this array.
    pub fn has(&self, name: &str) -> bool {
        self.state.get(name).is_some()
    }

    /// Whether the file has an array whose name begins like this.
    pub fn has_within(&self, prefix: &str) -> bool {
        self.state.names_within(prefix).next().is_some()
    }

    /// Number of consecutive names `{prefix}0`, `{prefix}1`, ..., each followed by a dot.
    pub fn count(&self, prefix: &str) -> usize {
        (0..).take_while(|index| self.has_within(&format!("{prefix}{index}."))).count()
    }

    /// Number of consecutive arrays `{prefix}0`, `{prefix}1`, ...
    pub fn count_arrays(&self, prefix: &str) -> usize {
        (0..).take_while(|index| self.has(&format!("{prefix}{index}"))).count()
    }

    /// The first array named `{prefix}{index}...` whose index is `n` or more.
    pub fn has_beyond<'b>(&'b self, prefix: &'b str, n: usize) -> Option<&'b str> {
        let below = |rest: &str| {
            let index = rest.split('.').next().and_then(|index| index.parse::<usize>().ok());
            index.is_some_and(|index| index < n)
        };
        self.state.names_within(prefix).find(|name| !below(&name[prefix.len()..]))
    }

    /// What does not fit.
    pub fn undetermined(&self, reason: impl Into<String>) -> StateDictError {
        StateDictError::Undetermined { path: self.state.path().into(), reason: reason.into() }
    }

    fn other(&self, name: &str, expected: String, found: String) -> StateDictError {
        let (path, name) = (self.state.path().into(), name.to_owned());
        StateDictError::Value { path, name, expected, found }
    }

    /// The shape of an array of `R` axes, none of which is empty.
    pub fn shape<const R: usize>(&self, name: &str) -> Result<[usize; R], StateDictError> {
        let missing =
            || StateDictError::Missing { path: self.state.path().into(), name: name.to_owned() };
        let shape = self.state.get(name).ok_or_else(missing)?.shape();
        match shape.try_into() {
            Ok(sides) if !shape.contains(&0) => Ok(sides),
            _ => Err(self.other(
                name,
                format!("an array of {R} axes that is not empty"),
                format!("shape {shape:?}"),
            )),
        }
    }

    /// The values of an array, laid out as `part` says.
    pub fn values(&mut self, part: Part) -> Result<Vec<f64>, StateDictError> {
        self.theirs.values(&part)
    }

    /// The values of a vector of `n` elements.
    pub fn vector(&mut self, name: &str, n: usize) -> Result<Vec<f64>, StateDictError> {
        self.values(Part::new(name, [n]))
    }

    /// The integers of a vector, each below `end`.
    pub fn indices(&mut self, name: &str, end: usize) -> Result<Vec<usize>, StateDictError> {
        let [_] = self.shape(name)?;
        let array = self.theirs.take(name)?;
        let Values::I64(values) = array.values() else {
            let found = array.values().kind().to_owned();
            return Err(self.other(name, "integers".to_owned(), found));
        };
        let read = |&value: &i64| {
            let index = usize::try_from(value).ok().filter(|&index| index < end);
            let expected = || format!("integers from 0 to {}", end.saturating_sub(1));
            index.ok_or_else(|| self.other(name, expected(), value.to_string()))
        };
        values.iter().map(read).collect()
    }

    /// Uses an array of which nothing but the shape matters.
    pub fn expect_shape(&mut self, name: &str, shape: &[usize]) -> Result<(), StateDictError> {
        self.theirs.expect_shape(name, shape)
    }

    /// Uses an array of which every value, by its place in C order, must be the expected one.
    pub fn expect(
        &mut self,
        name: &str,
        shape: &[usize],
        expected: impl Fn(usize) -> f64,
    ) -> Result<(), StateDictError> {
        self.theirs.expect_shape(name, shape)?;
        let values: Vec<f64> = match self.theirs.take(name)?.values() {
            Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Values::F64(values) => values.clone(),
            Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
        };
        let other = values.iter().enumerate().find(|&(place, &value)| value != expected(place));
        match other {
            None => Ok(()),
            Some((place, found)) => {
                let expected = format!("{} as value {place} in C order", expected(place));
                Err(self.other(name, expected, found.to_string()))
            }
        }
    }

    /// Sets a parameter.
    pub fn put(&mut self, path: String, shape: impl Into<Vec<usize>>, values: Vec<f64>) {
        self.ours.insert(path, Array::new(shape, Values::F64(values)));
    }

    /// Sets a vector of integers.
    pub fn put_indices(&mut self, path: String, indices: &[usize]) {
        let values = indices.iter().map(|&index| index as i64).collect();
        self.ours.insert(path, Array::new([indices.len()], Values::I64(values)));
    }

    /// Sets a dense layer, whose weights are `[out, in]` there and `[in, out]` here.
    pub fn dense(
        &mut self,
        path: &str,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<(), StateDictError> {
        let rows = (0..outputs).collect();
        self.dense_with(path, name, Rows { rows, factor: &|_| 1.0, offset: &|_| 0.0 }, inputs)
    }

    /// Sets a dense layer whose outputs are in another order and in other units.
    pub fn dense_with(
        &mut self,
        path: &str,
        name: &str,
        outputs: Rows<'_>,
        inputs: usize,
    ) -> Result<(), StateDictError> {
        let Rows { rows, factor, offset } = outputs;
        let n = rows.len();
        let part = Part::new(format!("{name}.weight"), [n, inputs]).with_rows(rows.clone());
        let theirs = self.values(part)?;
        let weight = (0..inputs * n).map(|place| {
            let (input, output) = (place / n, place % n);
            theirs[output * inputs + input] * factor(output)
        });
        let weight = weight.collect();
        self.put(format!("{path}.weight"), [inputs, n], weight);
        let bias = self.values(Part::new(format!("{name}.bias"), [n]).with_rows(rows))?;
        let bias = bias.into_iter().enumerate();
        let bias = bias.map(|(output, value)| value * factor(output) + offset(output)).collect();
        self.put(format!("{path}.bias"), [n], bias);
        Ok(())
    }

    /// Puts a row of zeros before the weights of a layer: those of an input that it does not read.
    pub fn put_zero_row(&mut self, path: &str) {
        if let Some(weight) = self.ours.get(path)
            && let (&[inputs, outputs], Values::F64(values)) = (weight.shape(), weight.values())
        {
            let values = [&vec![0.0; outputs], values.as_slice()].concat();
            self.put(path.to_owned(), [inputs + 1, outputs], values);
        }
    }

    /// Uses the mask of a layer. An output is connected to the inputs that `connected(input,
    /// output)` says, by their degrees.
    pub fn expect_mask(
        &mut self,
        name: &str,
        inputs: &[usize],
        outputs: &[usize],
        connected: impl Fn(usize, usize) -> bool,
    ) -> Result<(), StateDictError> {
        let n = inputs.len();
        self.expect(name, &[outputs.len(), n], |place| {
            f64::from(u8::from(connected(inputs[place % n], outputs[place / n])))
        })
    }

    /// Sets the degrees of a masked layer.
    pub fn degrees(&mut self, path: &str, inputs: &[usize], outputs: &[usize]) {
        self.put_indices(format!("{path}.inputs"), inputs);
        self.put_indices(format!("{path}.outputs"), outputs);
    }

    /// The model with the translated parameters.
    ///
    /// # Errors
    /// If arrays of the file are left over, or if the model is another one than the file's.
    pub fn into_model<M: Module>(self, uninit: Uninit<M>) -> Result<M, StateDictError> {
        self.theirs.finish()?;
        let mut ours = Assignment::new(&self.ours);
        let model = uninit.initialize_with(|model| {
            ours.fill(model, |path, shape| Slot::of(Part::new(path, shape)))
        })?;
        let model = ours.fill_integers(model)?;
        ours.finish()?;
        Ok(model)
    }
}

/// The outputs of a dense layer.
pub(super) struct Rows<'a> {
    /// The output there of each output here.
    pub rows: Vec<usize>,
    /// Its factor, by its place here.
    pub factor: &'a dyn Fn(usize) -> f64,
    /// What is added then.
    pub offset: &'a dyn Fn(usize) -> f64,
}

/// The parameters of a law for each of `elements` elements: here by parameter, then by element.
/// There by element, then by parameter, where parameter `p` is number `order[p]`.
pub(super) fn by_element(order: &[usize], elements: usize) -> Vec<usize> {
    let n = order.len();
    let place = |&parameter: &usize| (0..elements).map(move |element| element * n + parameter);
    order.iter().flat_map(place).collect()
}

/// A model of the layers that a file describes, for vectors of `features` elements. It has no more
/// parameters than four times the numbers of the file, whatever sizes its arrays claim together:
/// matrices in PLU form have two squares in place of two triangles.
pub(super) fn build<L, C>(
    state: &StateDict,
    layers: &L,
    features: usize,
    example: &C,
    device: &Device,
) -> Result<Uninit<Flow<L::Layer, StandardNormal, 2, C>>, StateDictError>
where
    L: LayerConfig<2, C>,
    C: Features<2>,
{
    let shape = [1, features];
    let plan = layers.plan(&Site::given(shape, example, device));
    state.check_claim(plan.map_err(|error| state.invalid(error))?.num_params, 4)?;
    let flow = Flow::build_given(layers, StandardNormal::new(), shape, example, device);
    flow.map_err(|error| state.invalid(error))
}

/// Checks that the flow of a file reads a condition like `example`.
pub(super) fn check_context<C: Context>(
    state: &StateDict,
    width: Option<usize>,
    example: &C,
) -> Result<(), StateDictError> {
    let given = ContextShape::of(example).width();
    if given == width {
        return Ok(());
    }
    let text = |width: Option<usize>| match width {
        Some(width) => format!("a context of {width} elements"),
        None => "no context".to_owned(),
    };
    let path = state.path().to_path_buf();
    let reason = format!("the flow of the file has {}, found {}", text(width), text(given));
    Err(StateDictError::Undetermined { path, reason })
}
