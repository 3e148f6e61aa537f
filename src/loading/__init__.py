"""From data/{train,val,test}/<class>/ to batches: the check of the folder, random warps, the iterator for Keras."""
