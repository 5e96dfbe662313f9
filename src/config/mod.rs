//! From file, environment and secret files to the components' own settings.
