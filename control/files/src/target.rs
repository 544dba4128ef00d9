//! Which folder or object store a configuration means.
//! - Source: the schemes and option names are those of `object_store`.
//! - Invariants: a folder is entered by its own name, so that no path leads out of it; files in it are synced before they appear.
//! - Errors: problems with the configuration name options, never their values.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::FilesConfig;

/// The store, with everything in it below the configured folder.
pub(crate) fn open(config: &FilesConfig, directory: &Path) -> Result<Arc<dyn ObjectStore>, String> {
    if let Some(folder) = folder(config, directory)? {
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| error.to_string())?;
        return Ok(Arc::new(store.with_automatic_cleanup(true).with_fsync(true)));
    }
    let (store, prefix) = remote(config)?;
    Ok(if prefix.is_root() {
        Arc::from(store)
    } else {
        Arc::new(PrefixStore::new(Arc::<dyn ObjectStore>::from(store), prefix))
    })
}

/// All that is wrong with `url` and `options`.
pub(crate) fn problems(config: &FilesConfig) -> Vec<String> {
    let problem = match folder(config, Path::new("/")) {
        Ok(Some(_)) if config.options.0.is_empty() => None,
        Ok(Some(_)) => Some("options mean nothing to a folder".to_owned()),
        Ok(None) => remote(config).err(),
        Err(problem) => Some(problem),
    };
    problem.into_iter().map(|problem| format!("files.url: {problem}")).collect()
}

/// The folder, if it is one of this machine.
fn folder(config: &FilesConfig, directory: &Path) -> Result<Option<PathBuf>, String> {
    if config.url.is_empty() {
        return Ok(Some(directory.join("files")));
    }
    let Some(rest) = config.url.strip_prefix("file://") else { return Ok(None) };
    let folder = percent_decode_str(rest).decode_utf8().map_err(|error| error.to_string())?;
    let folder = PathBuf::from(folder.as_ref());
    if folder.is_absolute() { Ok(Some(folder)) } else { Err("a folder has to be absolute: file:///folder".to_owned()) }
}

fn remote(config: &FilesConfig) -> Result<(Box<dyn ObjectStore>, Key), String> {
    let url = Url::parse(&config.url).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "s3" | "s3a" | "az" | "azure" | "abfs" | "abfss" | "gs") {
        return Err(format!("{} is none of file, s3, az and gs", url.scheme()));
    }
    object_store::parse_url_opts(&url, config.options.0.clone()).map_err(|error| error.to_string())
}
