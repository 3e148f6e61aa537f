"""What is wrong with a data set: files, copies, labels, parts; and moving pictures when the user says so."""
