//! Placeholder until the engine lands.
/// A pattern.
#[derive(Debug)]
pub struct Pattern(String);
impl Pattern {
    /// Compiles.
    ///
    /// # Errors
    /// None yet.
    pub fn compile(source: &str) -> Result<Pattern, String> {
        Ok(Pattern(source.to_owned()))
    }
    /// Matches.
    pub fn matches(&self, _: &str) -> bool {
        true
    }
    /// Source.
    pub fn source(&self) -> &str {
        &self.0
    }
}
